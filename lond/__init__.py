"""The remote command processor: a preforked population of children, each serving one link."""
