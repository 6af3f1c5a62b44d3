"""From conversations to text and targets by the chat template, as the server asks and as the model answers."""
