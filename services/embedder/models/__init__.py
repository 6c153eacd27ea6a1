"""The families of models, one file each. A model knows its tensors; where its weights lie is the caller's."""
