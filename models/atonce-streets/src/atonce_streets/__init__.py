"""The model `streets` for atonce, which finds it by this package's entry point and runs no code of it."""
