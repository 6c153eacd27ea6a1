"""What a visitor of the page feels, measured in a real browser."""
