<?php

/*
 * Creates the screening and its seats, once, before the workers start (server.on_init).
 */

declare(strict_types=1);

require __DIR__ . '/src/Screening.php';

use Cinema\Screening;

Screening::create(minutes: (int) (getenv('CINEMA_MINUTES') ?: 30));
