using System.Net;
using System.Net.Sockets;
using ByteStreams.Transport;
using ByteStreams.Transport.Addresses;
using ByteStreams.Transport.Text;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Admission;

/// <summary>Refuses who is not on the list, or is on the other.</summary>
internal sealed class AccessListMiddleware
{
    private readonly ConnectionDelegate _next;
    private readonly NetworkList _allow;
    private readonly NetworkList _deny;
    private readonly HashSet<uint> _users;
    private readonly HashSet<uint> _groups;
    private readonly ILogger _logger;

    public AccessListMiddleware(ConnectionDelegate next, AccessListOptions options, ILogger logger)
    {
        options.Validate();
        _next = next;
        _allow = NetworkList.Parse(options.Allow);
        _deny = NetworkList.Parse(options.Deny);
        _users = [.. options.AllowedUsers.Select(user => UnixAccounts.User(user))];
        _groups = [.. options.AllowedGroups.Select(group => UnixAccounts.Group(group))];
        _logger = logger;
    }

    public Task OnConnectionAsync(ConnectionContext context)
    {
        EndPoint? client = context.RemoteEndPoint;
        if (_deny.Contains(client) || (!_allow.IsEmpty && !_allow.Contains(client)))
        {
            return RefuseAsync(context, ConnectionEndReason.RefusedAddress);
        }

        if ((_users.Count > 0 || _groups.Count > 0) && Peer(context) is null or UnixDomainSocketEndPoint)
        {
            // Whoever the system does not name is nobody who is allowed.
            UnixCredentials? credentials = NativeSocket.PeerCredentials(context);
            if (credentials is not UnixCredentials peer || !(_users.Contains(peer.UserId) || _groups.Contains(peer.GroupId)))
            {
                return RefuseAsync(context, ConnectionEndReason.RefusedUser);
            }
        }

        return _next(context);
    }

    /// <summary>Who has connected, whatever a PROXY header says: the process of a Unix socket is no less its user's for that.</summary>
    private static EndPoint? Peer(ConnectionContext context) =>
        context.Features.Get<IProxyProtocolFeature>() is IProxyProtocolFeature proxy ? proxy.ProxyEndPoint : context.RemoteEndPoint;

    private Task RefuseAsync(ConnectionContext context, ConnectionEndReason reason)
    {
        AdmissionLog.Refused(_logger, context.ConnectionId, LogText.Of(context.RemoteEndPoint), reason);
        return AdmissionMiddleware.RefuseAsync(context, reason, banner: null);
    }
}
