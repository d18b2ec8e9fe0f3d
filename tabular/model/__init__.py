"""The model: its hyper-parameters, how it is trained, and the code that is served."""
