"""What theory predicts of several tasks' robustness, beside what is measured."""
