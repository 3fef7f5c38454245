"""The pages of Mirador, and what makes them."""
