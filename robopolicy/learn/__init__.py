"""Learning: the policy, the learner, and the prior that keeps the style."""
