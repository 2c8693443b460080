using System.Security.Authentication;
using Microsoft.AspNetCore.Connections;

namespace ByteStreams.Contract.Tests.Interleavings;

/// <summary>One connection's life, chosen by a seed: who writes what, how it ends, and what else happens meanwhile.</summary>
internal sealed class Scenario(int seed, MeetingPlace place) : IDisposable
{
    public const int Writers = 3;
    public const int LongestFrame = 70_000;

    private readonly Random _random = new(seed);
    private readonly CancellationTokenSource _late = new(Patience.Limit);
    private readonly List<(string What, Task Task)> _tasks = [];

    private enum Ending
    {
        BothWriteEof,
        ClientCloses,
        HandlerCloses,
        HandlerReturns,
        HandlerThrows,
        ClientAborts,
        HandlerAborts,
        ClientDisposes,
        ClientDisposesTwice,
        ServerClosesClients,
        ServerAbortsClients,
        BothClose,
        ClientClosesAndAborts,
        ClientWritesEofAndHandlerAborts,
        ClientSetsException,
    }

    /// <summary>How an ending may leave a direction.</summary>
    [Flags]
    private enum Whole
    {
        None = 0,
        ToHandler = 1,
        ToClient = 2,
        Both = ToHandler | ToClient,
    }

    public static async ValueTask PauseAsync(Random random)
    {
        switch (random.Next(8))
        {
            case 0:
                Thread.SpinWait(random.Next(3000));
                break;
            case 1:
                await Task.Yield();
                break;
            case 2 when random.Next(4) == 0:
                await Task.Delay(random.Next(3));
                break;
        }
    }

    public async Task RunAsync()
    {
        var ending = (Ending)_random.Next(Enum.GetValues<Ending>().Length);
        bool upgrades = !place.IsTls && _random.Next(3) == 0;
        int upgradeFails = _random.Next(3);
        (ByteStreamConnection connection, MeetingPlace.Handler handler) = await place.ConnectAsync(_late.Token);
        var client = new Side("client", _random.Next(), connection.Reader, connection.Writer);
        var server = new Side("handler", _random.Next(), handler.Reader, handler.Writer);
        try
        {
            for (int i = _random.Next(3); i > 0; i--)
            {
                (Random first, Random second) = (NextRandom(), NextRandom());
                Begin($"{client.Name}'s WaitClosed", () => WaitClosedAsync(client.Writer, first));
                Begin($"{server.Name}'s WaitClosed", () => WaitClosedAsync(server.Writer, second));
            }

            if (upgrades && !await UpgradeAsync(client, server, connection, handler, upgradeFails == 0))
            {
                await EndAsync(connection, handler);
                return;
            }

            Whole whole = await LiveAsync(ending, client, server, connection, handler);
            await EndAsync(connection, handler);
            if (whole.HasFlag(Whole.ToHandler))
            {
                CheckWhole(client, server);
            }

            if (whole.HasFlag(Whole.ToClient))
            {
                CheckWhole(server, client);
            }
        }
        catch (Exception failure)
        {
            string open = string.Join(", ", _tasks.Where(task => !task.Task.IsCompleted).Select(task => task.What));
            throw new InvalidOperationException(
                $"{ending}{(upgrades ? " behind an upgrade" : string.Empty)}; not done: {(open.Length == 0 ? "nothing" : open)}; {client}, {server}: {failure.Message}",
                failure);
        }
    }

    public void Dispose() => _late.Dispose();

    private async Task<Whole> LiveAsync(Ending ending, Side client, Side server, ByteStreamConnection connection, MeetingPlace.Handler handler)
    {
        bool clientBorrows = ending is not (Ending.ClientDisposes or Ending.ClientDisposesTwice);
        bool handlerBorrows = ending is not (Ending.HandlerReturns or Ending.HandlerThrows);
        Task[] reading =
        [
            Start("the client's reads", () => client.ReadAsync(clientBorrows, _late.Token)),
            Start("the handler's reads", () => server.ReadAsync(handlerBorrows, _late.Token)),
        ];
        Task[] clientWrites = [.. Enumerable.Range(0, Writers).Select(i => Start($"client's writer {i}", () => client.WriteAsync(i, _late.Token)))];
        Task[] serverWrites = [.. Enumerable.Range(0, Writers).Select(i => Start($"handler's writer {i}", () => server.WriteAsync(i, _late.Token)))];
        var random = NextRandom();
        if (ending == Ending.BothWriteEof)
        {
            (Random first, Random second) = (NextRandom(), NextRandom());
            Task there = Start("the client's WriteEof", () => WriteEofAsync(client, clientWrites, first));
            Task back = Start("the handler's WriteEof", () => WriteEofAsync(server, serverWrites, second));
            await AllAsync([there, back, .. reading]);
            return Whole.Both;
        }

        for (int i = random.Next(30); i > 0; i--)
        {
            await PauseAsync(random);
        }

        Whole whole = Whole.None;
        switch (ending)
        {
            case Ending.ClientCloses:
                client.NoteEnd();
                client.Writer.Close();
                whole = Whole.ToHandler;
                break;
            case Ending.ClientDisposes:
                client.NoteEnd();
                Begin("the client's Dispose", () => connection.DisposeAsync().AsTask());
                whole = Whole.ToHandler;
                break;
            case Ending.ClientDisposesTwice:
                client.NoteEnd();
                Begin("the client's Dispose", () => connection.DisposeAsync().AsTask());
                Begin("the client's second Dispose", () => connection.DisposeAsync().AsTask());
                whole = Whole.ToHandler;
                break;
            case Ending.HandlerCloses:
                server.NoteEnd();
                server.Writer.Close();
                whole = Whole.ToClient;
                break;
            case Ending.ServerClosesClients:
                server.NoteEnd();
                place.Server.CloseClients();
                whole = Whole.ToClient;
                break;
            case Ending.HandlerReturns:
                server.NoteEnd();
                handler.Result.SetResult();
                whole = Whole.ToClient;
                break;
            case Ending.HandlerThrows:
                handler.Result.SetException(new StoredException());
                break;
            case Ending.ClientAborts:
                client.Writer.Abort();
                break;
            case Ending.HandlerAborts:
                server.Writer.Abort();
                break;
            case Ending.ServerAbortsClients:
                place.Server.AbortClients();
                break;
            case Ending.BothClose:
                Begin("the client's Close", () => Run(client.Writer.Close));
                Begin("the handler's Close", () => Run(server.Writer.Close));
                break;
            case Ending.ClientClosesAndAborts:
                Begin("the client's Close", () => Run(client.Writer.Close));
                Begin("the client's Abort", () => Run(client.Writer.Abort));
                break;
            case Ending.ClientWritesEofAndHandlerAborts:
                Begin("the client's WriteEof", () => Run(client.Writer.WriteEof));
                Begin("the handler's Abort", () => Run(server.Writer.Abort));
                break;
            case Ending.ClientSetsException:
                client.Reader.SetException(new StoredException());
                await PauseAsync(random);
                client.Writer.Abort();
                break;
        }

        await AllAsync(reading);
        await AllAsync([.. clientWrites, .. serverWrites]);
        return whole;
    }

    private static async Task WriteEofAsync(Side side, Task[] writers, Random random)
    {
        if (random.Next(3) == 0)
        {
            await PauseAsync(random);
            side.Stop();
        }

        await Task.WhenAll(writers);
        side.NoteEnd();
        side.Writer.WriteEof();
        side.Writer.WriteEof();
    }

    /// <summary>Both begin TLS at once; answers whether they speak it then. What ends the connection meanwhile ends the upgrade.</summary>
    private async Task<bool> UpgradeAsync(Side client, Side server, ByteStreamConnection connection, MeetingPlace.Handler handler, bool fails)
    {
        using var cancel = CancellationTokenSource.CreateLinkedTokenSource(_late.Token);
        Task<Exception?> there = Start("the client's StartTls", () => UpgradeErrorAsync(() => client.Writer.StartTlsAsync(TestCertificate.Client, cancel.Token)));
        Task<Exception?> back = Start("the handler's StartTls", () => UpgradeErrorAsync(() => server.Writer.StartTlsAsync(TestCertificate.Server, cancel.Token)));
        if (fails)
        {
            var random = NextRandom();
            for (int i = random.Next(40); i > 0; i--)
            {
                await PauseAsync(random);
            }

            switch (random.Next(8))
            {
                case 0:
                    client.Writer.Close();
                    break;
                case 1:
                    server.Writer.Close();
                    break;
                case 2:
                    client.Writer.Abort();
                    break;
                case 3:
                    server.Writer.Abort();
                    break;
                case 4:
                    Begin("the client's Dispose", () => connection.DisposeAsync().AsTask());
                    break;
                case 5:
                    handler.Result.TrySetResult();
                    break;
                case 6:
                    client.Reader.SetException(new StoredException());
                    await cancel.CancelAsync();
                    break;
                default:
                    await cancel.CancelAsync();
                    break;
            }
        }

        await AllAsync([there, back]);
        if (!fails && (await there ?? await back) is Exception unasked)
        {
            throw new InvalidDataException("An upgrade failed that nobody had disturbed.", unasked);
        }

        return !fails;
    }

    private static async Task<Exception?> UpgradeErrorAsync(Func<Task> upgrade)
    {
        try
        {
            await upgrade();
            return null;
        }
        catch (Exception failed) when (failed is AuthenticationException or IOException or ConnectionAbortedException or OperationCanceledException
            or InvalidOperationException or StoredException)
        {
            return failed;
        }
    }

    private async Task WaitClosedAsync(ByteStreamWriter writer, Random random)
    {
        await PauseAsync(random);
        try
        {
            if (random.Next(3) == 0)
            {
                using var cancel = new CancellationTokenSource();
                Task wait = writer.WaitClosedAsync(cancel.Token);
                await PauseAsync(random);
                await cancel.CancelAsync();
                await wait;
                return;
            }

            await writer.WaitClosedAsync(_late.Token);
        }
        catch (Exception end) when (end is IOException or ConnectionAbortedException || (end is OperationCanceledException && !_late.IsCancellationRequested))
        {
            // Lost, which it tells, or cancelled.
        }
    }

    /// <summary>Whatever has happened: the connection ends, and with it everything that waits.</summary>
    private async Task EndAsync(ByteStreamConnection connection, MeetingPlace.Handler handler)
    {
        Begin("the last Dispose", () => connection.DisposeAsync().AsTask());
        handler.Result.TrySetResult();
        Begin("the handler's end", () => WaitClosedAsync(handler.Writer, new Random(0)));
        await AllAsync([.. _tasks.Select(task => task.Task)]);
    }

    private static void CheckWhole(Side from, Side to)
    {
        if (!to.SawEnd)
        {
            throw new InvalidDataException($"The {to.Name} met an error instead of the end that the {from.Name} had sent.", to.ReadError);
        }

        for (int i = 0; i < Writers; i++)
        {
            if (to.Received.Count(i) < from.Due[i])
            {
                throw new InvalidDataException($"Of the {from.Name}'s writer {i}, {to.Received.Count(i)} of {from.Due[i]} frames arrived before the end.");
            }
        }

        if (to.Received.Unfinished > 0)
        {
            throw new InvalidDataException($"The {to.Name} got the end within a frame of the {from.Name}.");
        }
    }

    /// <summary>For one task alone: what it does must not depend on how fast others are.</summary>
    private Random NextRandom() => new(_random.Next());

    private static Task Run(Action action)
    {
        action();
        return Task.CompletedTask;
    }

    private void Begin(string what, Func<Task> work) => _ = Start(what, work);

    private Task Start(string what, Func<Task> work)
    {
        Task task = Task.Run(work);
        _tasks.Add((what, task));
        return task;
    }

    private Task<T> Start<T>(string what, Func<Task<T>> work)
    {
        Task<T> task = Task.Run(work);
        _tasks.Add((what, task));
        return task;
    }

    private static Task AllAsync(Task[] tasks) => Task.WhenAll(tasks).WaitAsync(Patience.Limit + TimeSpan.FromSeconds(5));

    /// <summary>What a scenario puts into a reader, or throws from a handler.</summary>
    internal sealed class StoredException() : Exception("A scenario's own.");
}
