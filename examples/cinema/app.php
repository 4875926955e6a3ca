<?php

/*
 * The pool of PHP: answers the pages' RPCs, and publishes each change of a seat to all pages.
 */

declare(strict_types=1);

require __DIR__ . '/../../workers/php/autoload.php';
require __DIR__ . '/src/Screening.php';
require __DIR__ . '/src/Seats.php';

use Causeway\App;
use Causeway\Rpc;
use Cinema\Screening;
use Cinema\Seats;

(new App())->services([new Seats(new Screening(), new Rpc())])->run();
