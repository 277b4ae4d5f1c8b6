"""For tests of services that are built on this package."""
