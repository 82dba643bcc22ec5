"""How several tasks become one: from losses or gradients to weights."""
