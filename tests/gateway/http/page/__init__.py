"""The page in a real browser, over fake flows."""
