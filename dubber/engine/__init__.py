"""Keys, plans, the content-keyed store and its executor; knows nothing of faces."""
