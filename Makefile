
# make            build/ngx_http_acr_module.so for the installed nginx
# make install    puts it where nginx looks for modules
# make test       every test
# make check      unit tests, a short fuzz run, static analysis
# make bench      measurements (t/bench); make bench-scale: a million objects;
#                 make bench-edge: pulls through a node, over a slow line
#
# NGINX_SRC is the tree that Debian's nginx-dev installs; nginx's own source,
# configured as the nginx that is to load the module, does as well.
# SANITIZE=1 builds for AddressSanitizer (load it into an nginx that is run
# with LD_PRELOAD of libasan).

SHELL =		/bin/bash
NGINX_SRC ?=	/usr/share/nginx/src
BUILD ?=	$(CURDIR)/build
MODULES ?=	$(DESTDIR)$(shell nginx -V 2>&1 | \
		sed -n 's/.*--modules-path=\([^ ]*\).*/\1/p')
MODULE =	ngx_http_acr_module.so

CC_OPT =	-O2 -g -fPIC -Wall -Wextra -Werror -Wno-unused-parameter \
		-Wmisleading-indentation -Wshadow -fstack-protector-strong \
		-D_FORTIFY_SOURCE=2
LD_OPT =	-fPIC -Wl,-z,relro,-z,now

ifdef SANITIZE
CC_OPT =	-O1 -g -fPIC -Wall -Wextra -Werror -Wno-unused-parameter \
		-fsanitize=address,undefined -fno-omit-frame-pointer
LD_OPT =	-fPIC -fsanitize=address,undefined
endif

SOURCES =	ngx_http_acr_module.c $(wildcard src/*.c src/*/*.c)

# One at a time: tests that build may run side by side.
all:
	@mkdir -p $(BUILD)
	@flock $(BUILD)/lock $(MAKE) --no-print-directory $(BUILD)/$(MODULE)

# A new file or another option configures anew.
$(BUILD)/Makefile:	config Makefile $(BUILD)/sources
	cd $(NGINX_SRC) && . ./conf_flags && ./configure \
		"$${NGX_CONF_FLAGS[@]}" --with-cc-opt="$(CC_OPT)" \
		--with-ld-opt="$(LD_OPT)" --builddir=$(BUILD) \
		--add-dynamic-module=$(CURDIR) > $(BUILD)/configure.log \
		|| { tail $(BUILD)/configure.log; rm -f $@; exit 1; }

$(BUILD)/sources:	FORCE
	@mkdir -p $(BUILD)
	@echo "$(SOURCES) $(CC_OPT)" | cmp -s - $@ \
		|| echo "$(SOURCES) $(CC_OPT)" > $@

$(BUILD)/acr/acr_scripts.h:	src/meta/embed.sh $(wildcard src/meta/*.lua) \
				$(BUILD)/Makefile
	sh src/meta/embed.sh $@ src/meta

$(BUILD)/$(MODULE):	$(BUILD)/Makefile $(BUILD)/acr/acr_scripts.h FORCE
	@$(MAKE) --no-print-directory -C $(NGINX_SRC) -f $(BUILD)/Makefile \
		modules

install:	all
	install -D -m 644 $(BUILD)/$(MODULE) $(MODULES)/$(MODULE)

test:
	./t/run.sh

check:	all
	./t/check.sh

bench:	all
	./t/bench/run.sh

bench-scale:	all
	./t/bench/run.sh scale

bench-edge:	all
	./t/bench/run.sh edge

clean:
	rm -rf $(BUILD)

FORCE:

.PHONY:	all install test check bench bench-scale bench-edge clean FORCE
