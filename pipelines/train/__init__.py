"""The train step: fine-tuning and pretraining, and the comparison with the champion."""
