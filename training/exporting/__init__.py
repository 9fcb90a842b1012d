"""From a trained network to a model folder: ONNX files, their proof, model.json and the card."""
