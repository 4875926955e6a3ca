<?php // The handlers of Centrifugo's events, which `php artisan centrifugo:work` runs.

use App\Centrifugo\Chat;
use Causeway\Laravel\Centrifugo;

Centrifugo::services([Chat::class]);
