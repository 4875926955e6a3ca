<?php // The worker, which `causeway serve` starts.

declare(strict_types=1);

require __DIR__ . '/vendor/autoload.php';

use App\Centrifugo\Chat;
use Causeway\App;
use Causeway\Rpc;

(new App())->services([new Chat(new Rpc())])->run();
