"""From rows as people write them to conversations with tools, or to documents and tokens."""
