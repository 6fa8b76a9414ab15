"""A module that needs one that is not there."""

import no_such_module

no_such_module.use()
