"""A network behind HTTP: a page for people, an API for programs. Nothing of training is imported."""
