<?php

/* The interface of Symfony that services implement which can be reset, unless symfony/service-contracts is installed. */

declare(strict_types=1);

namespace Symfony\Contracts\Service;

if (!interface_exists(ResetInterface::class)) {
    interface ResetInterface
    {
        /** @return void */
        public function reset();
    }
}
