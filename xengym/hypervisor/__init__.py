"""The hall: the only room that knows both mechanisms and policies."""
