"""Other people's files, loaded and saved in their original form."""
