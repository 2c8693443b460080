using System.Text;
using ByteStreams.Groups;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Cluster.Links;

/// <summary>
/// What another host sends to this one. Each number is applied once, in order. After a silence of
/// <see cref="ByteStreamClusterOptions.LinkTimeout"/> nothing of before is applied: the other host has to begin again.
/// </summary>
internal sealed class IncomingLink
{
    private readonly SiloAddress _host;
    private readonly ByteStreamConnections _connections;
    private readonly ByteStreamClusterOptions _options;
    private readonly ClusterMetrics _metrics;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Action<string, long, string> _replace;
    private readonly Action _known;
    private readonly Lock _gate = new();
    private long _epoch;
    private long _applied;
    private long _heard;
    private bool _isRefused;
    private volatile bool _isFenced;

    // The name of the last message: the next one often has the same.
    private byte[] _lastNameBytes = [];
    private string _lastName = string.Empty;

    /// <param name="host">The other host.</param>
    /// <param name="connections">Get the messages.</param>
    /// <param name="options">The times.</param>
    /// <param name="metrics">Count.</param>
    /// <param name="logger">For what cannot be read.</param>
    /// <param name="replace">Ends the older connections of a user on the other host.</param>
    /// <param name="known">Called when the other host has told all of its groups.</param>
    public IncomingLink(
        SiloAddress host,
        ByteStreamConnections connections,
        ByteStreamClusterOptions options,
        ClusterMetrics metrics,
        ILogger logger,
        Action<string, long, string> replace,
        Action known)
    {
        _host = host;
        _connections = connections;
        _options = options;
        _metrics = metrics;
        _time = options.TimeProvider;
        _logger = logger;
        _replace = replace;
        _known = known;
    }

    /// <summary>The groups of the other host.</summary>
    public PeerInterest Interest { get; } = new();

    /// <summary>
    /// Whether the other host may have a member of a group: it has one, or its groups are not known now, because it has not sent them all, or was
    /// silent for <see cref="ByteStreamClusterOptions.LinkTimeout"/>.
    /// </summary>
    public bool MayHave(ulong group) =>
        !Interest.IsComplete || Interest.Contains(group) || _time.GetElapsedTime(Volatile.Read(ref _heard)) > _options.LinkTimeout;

    /// <summary>The other host was evicted: nothing of it is applied any more.</summary>
    public void Fence() => _isFenced = true;

    public LinkReply Apply(LinkBatch batch)
    {
        if (_isFenced)
        {
            _metrics.Fenced();
            return LinkReply.Fenced;
        }

        // A batch to many connections takes a while. Who sends it again learns that, and no thread waits.
        if (!_gate.TryEnter())
        {
            return LinkReply.Working;
        }

        bool becameKnown;
        try
        {
            if (batch.Format != LinkBatch.CurrentFormat)
            {
                ClusterLog.BatchUnreadable(_logger, new FormatException($"The format is {batch.Format}, and this version reads {LinkBatch.CurrentFormat}."), _host);
                return LinkReply.Renew;
            }

            if (batch.Epoch < _epoch)
            {
                return LinkReply.Renew;
            }

            if (batch.Epoch > _epoch)
            {
                if (batch.Number != 1)
                {
                    return LinkReply.Renew;
                }

                (_epoch, _applied, _isRefused) = (batch.Epoch, 0, false);
                Interest.BeginAgain();
            }
            else if (_isRefused || _time.GetElapsedTime(_heard) > _options.LinkTimeout + OutgoingLink.TransferTime(batch))
            {
                _isRefused = true;
                return LinkReply.Renew;
            }

            if (batch.Number <= _applied)
            {
                _metrics.Duplicate();
                Volatile.Write(ref _heard, _time.GetTimestamp());
                return LinkReply.Accepted;
            }

            if (batch.Number != _applied + 1)
            {
                _isRefused = true;
                return LinkReply.Renew;
            }

            bool wasKnown = Interest.IsKnown;
            // Before it is applied: what a failure leaves is not applied again.
            _applied = batch.Number;
            try
            {
                ApplyContent(batch.Content);
            }
            catch (Exception unreadable)
            {
                ClusterLog.BatchUnreadable(_logger, unreadable, _host);
                _isRefused = true;
                return LinkReply.Renew;
            }

            Volatile.Write(ref _heard, _time.GetTimestamp());
            becameKnown = !wasKnown && Interest.IsKnown;
        }
        finally
        {
            _gate.Exit();
        }

        if (becameKnown)
        {
            _known();
        }

        return LinkReply.Accepted;
    }

    private void ApplyContent(byte[] content)
    {
        var reader = new LinkReader(content);
        while (!reader.IsAtEnd && !_isFenced)
        {
            var entry = (LinkEntry)reader.ReadByte();
            switch (entry)
            {
                case LinkEntry.Interest:
                    Interest.Add(reader.ReadNumber());
                    break;
                case LinkEntry.Withdrawal:
                    Interest.Remove(reader.ReadNumber());
                    break;
                case LinkEntry.InterestComplete:
                    Interest.EndAgain();
                    break;
                case LinkEntry.Message:
                    var kind = (TargetKind)reader.ReadByte();
                    string name = Name(reader.ReadBytes());
                    ReadOnlySpan<byte> except = reader.ReadBytes();
                    _connections.Deliver(kind, name, except.IsEmpty ? null : Encoding.UTF8.GetString(except), reader.ReadBytes());
                    break;
                case LinkEntry.Replace:
                    string user = Name(reader.ReadBytes());
                    string id = Encoding.UTF8.GetString(reader.ReadBytes());
                    if (_connections.ReplaceOlder(user, (long)reader.ReadNumber(), id) is ByteStreamMember newer)
                    {
                        _replace(user, newer.Number, newer.Id);
                    }

                    break;
                default:
                    throw new FormatException($"A batch has an entry of the unknown kind {(byte)entry}: that host runs another version.");
            }
        }
    }

    private string Name(ReadOnlySpan<byte> bytes)
    {
        if (!bytes.SequenceEqual(_lastNameBytes))
        {
            (_lastNameBytes, _lastName) = (bytes.ToArray(), Encoding.UTF8.GetString(bytes));
        }

        return _lastName;
    }
}
