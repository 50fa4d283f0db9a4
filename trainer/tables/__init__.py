"""The paper's tables as commands: what is missing is fitted and drawn, then measured."""
