"""`tina-azr chat`."""
