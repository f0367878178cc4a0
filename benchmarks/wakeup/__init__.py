"""How soon a pool at zero has its Deployment patched after the first job was committed, on the test cluster."""
