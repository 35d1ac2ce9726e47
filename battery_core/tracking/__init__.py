"""Records of runs: local folder, TensorBoard, MLflow."""
