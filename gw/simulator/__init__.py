"""The uCentral agent that tests, load tests and `gw simulate` share (behaviour: agents.md)."""
