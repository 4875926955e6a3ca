<?php

declare(strict_types=1);

namespace App\Centrifugo;

use Causeway\Attribute\OnConnect;
use Causeway\Attribute\OnRpc;
use Causeway\Attribute\OnSubscribe;
use Causeway\Error;
use Causeway\Event\ConnectRequest;
use Causeway\Event\RpcRequest;
use Causeway\Event\SubscribeRequest;
use Causeway\Result\ConnectResult;
use Causeway\Result\RpcResult;
use Causeway\Rpc;

/** What happens in the chat: one method for each event. */
final class Chat
{
    public function __construct(private readonly Rpc $rpc)
    {
    }

    /** Accepts everyone under the name that the client sends. Check a cookie or a token here. */
    #[OnConnect]
    public function connect(ConnectRequest $request): ConnectResult
    {
        $data = (array) $request->json();
        $user = $data['user'] ?? null;
        $user = is_string($user) && $user !== '' ? $user : 'guest';

        return new ConnectResult(user: $user, data: ['user' => $user]);
    }

    /** There is one channel. */
    #[OnSubscribe]
    public function join(SubscribeRequest $request): ?Error
    {
        return $request->channel === 'chat' ? null : new Error(403, 'permission denied');
    }

    #[OnRpc('hello')]
    public function hello(RpcRequest $request): RpcResult
    {
        return new RpcResult(data: ['hello' => $request->user]);
    }

    /** Publishes a message to everyone in the chat. */
    #[OnRpc('say')]
    public function say(RpcRequest $request): RpcResult
    {
        $data = (array) $request->json();
        $text = $data['text'] ?? null;
        if (!is_string($text) || trim($text) === '') {
            throw new Error(400, 'text is missing');
        }
        $this->rpc->call('centrifuge.Publish', [
            'channel' => 'chat',
            'data' => ['from' => $request->user, 'text' => $text],
        ]);

        return new RpcResult(data: 'said');
    }
}
