"""The network side: devices today; the forecaster's layers, worlds and training live here too."""
