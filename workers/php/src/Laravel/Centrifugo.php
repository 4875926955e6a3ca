<?php

declare(strict_types=1);

namespace Causeway\Laravel;

use Causeway\App;
use Illuminate\Support\Facades\Facade;

/**
 * The application's handlers, for `routes/centrifugo.php`:
 *
 *     Centrifugo::onRpc('users.*', [UserController::class, 'call']);
 *
 * @mixin App
 */
final class Centrifugo extends Facade
{
    protected static function getFacadeAccessor(): string
    {
        return App::class;
    }
}
