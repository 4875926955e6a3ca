<?php

/* Runs the application that its argument names as if the server did not offer JSON: the package takes protobuf then. */

declare(strict_types=1);

putenv('CAUSEWAY_CODECS=proto');
require $argv[1];
