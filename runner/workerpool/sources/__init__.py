"""Where jobs come from: one module or package per engine behind the protocols of ``base``."""
