"""Where a run is written down: local folder, TensorBoard, MLflow."""
