"""`python -m atonce`, which is what `accelerate launch -m atonce` and `torchrun -m atonce` start."""

from atonce.cli import main

if __name__ == "__main__":  # processes that draw streets import this module again
    main()
