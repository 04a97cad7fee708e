"""The windows step: saturation and export windows per policy, chip and scope, with their charts."""
