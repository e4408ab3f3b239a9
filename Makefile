# Each target is a script that also works without make: sh scripts/NAME.sh
.PHONY: demo test

# make demo TEXT="A sentence of your own."
demo:
	@sh scripts/demo.sh $(if $(TEXT),"$(TEXT)")

# make test ARGS="-k text"
test:
	@sh scripts/test.sh $(ARGS)
