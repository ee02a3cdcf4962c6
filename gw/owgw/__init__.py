"""Taking over from owgw and owsec: what their databases hold becomes rows of ours."""
