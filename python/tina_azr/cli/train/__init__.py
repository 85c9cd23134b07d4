"""`tina-azr train`."""
