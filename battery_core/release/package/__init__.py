"""The MLflow package of a predictor and its ONNX export."""
