"""How good a catalogue's search is, measured so that anybody can check it: `vitrine eval`."""
