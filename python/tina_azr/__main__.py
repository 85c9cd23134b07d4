"""`python -m tina_azr` is `tina-azr`: what `torchrun -m tina_azr` needs."""

from tina_azr.cli.main import main

if __name__ == "__main__":
    main()
