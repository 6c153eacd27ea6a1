"""What has been computed lately. Only what can be lost is kept here."""
