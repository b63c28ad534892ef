"""One file and one function for each stage of dvc.yaml."""
