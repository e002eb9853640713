"""The viewer as a web page: what moves, and everything that can be asked of it or done to it."""
