<?php

declare(strict_types=1);

namespace Causeway;

/** What all results have in common: properties named after the fields of a message, in camel case. */
abstract class Result
{
}
