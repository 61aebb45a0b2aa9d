"""Where artifacts live: a store (folder or bucket) and what is kept in it. The only room that knows a path or a bucket."""
