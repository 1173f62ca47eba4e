"""Packages that bring a trained model: `python -m models NAME MODEL` builds one of a model that you have trained."""
