"""One module per Flex Template: options become a graph."""
