using System.Globalization;

namespace Exporter.Exports.Testing;

/// <summary>What the smallest useful Ceph needs: one monitor, one store in memory, one S3 gateway, all on this machine.</summary>
internal static class CephConfiguration
{
    /// <summary>
    /// Makes the keys and the monitor's map, starts monitor and store and adds the user; prints <c>ready</c>, waits for its
    /// input to end, which it does with the process that started it, and ends what it started.
    /// </summary>
    public const string StartCluster = """
        set -e
        K=$DIR/keyring; C=$DIR/ceph.conf
        trap 'kill -KILL $mon $osd 2>/dev/null || true' EXIT
        ceph-authtool --create-keyring $K --gen-key -n mon. --cap mon 'allow *' >/dev/null
        ceph-authtool $K --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' --cap mgr 'allow *' --cap mds 'allow *' >/dev/null
        ceph-authtool $K --gen-key -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *' --cap mgr 'allow profile osd' >/dev/null
        ceph-authtool $K --gen-key -n client.rgw --cap mon 'allow rw' --cap osd 'allow rwx' --cap mgr 'allow rw' >/dev/null
        monmaptool --create --clobber --fsid $FSID --addv a "[v2:127.0.0.1:$MON2,v1:127.0.0.1:$MON1]" $DIR/monmap >/dev/null
        ceph-mon -c $C -i a --mkfs --monmap $DIR/monmap --keyring $K >/dev/null
        ceph-mon -f -c $C -i a </dev/null >>$DIR/log/mon.out 2>&1 & mon=$!
        ceph -c $C --connect-timeout 30 osd new $FSID >/dev/null 2>>$DIR/log/setup.out
        ceph-osd -c $C -i 0 --mkfs --osd-uuid $FSID >>$DIR/log/setup.out 2>&1
        ceph-osd -f -c $C -i 0 </dev/null >>$DIR/log/osd.out 2>&1 & osd=$!
        n=0; until ceph -c $C --connect-timeout 20 osd stat 2>/dev/null | grep -q '1 up'; do n=$((n+1)); test $n -lt 200; sleep 0.1; done
        radosgw-admin -c $C -n client.rgw user create --uid=test --display-name=test "--access-key=$ACCESS" "--secret=$SECRET" >/dev/null 2>>$DIR/log/setup.out
        echo ready
        while read -r line; do :; done
        """;

    /// <summary>Runs the gateway until its input ends.</summary>
    public const string StartGateway = """
        radosgw -f -c $DIR/ceph.conf -n client.rgw </dev/null >>$DIR/log/gateway.out 2>&1 & gateway=$!
        while read -r line; do :; done
        kill -KILL $gateway 2>/dev/null; wait $gateway
        """;

    /// <summary>The one key that SSE-KMS knows there.</summary>
    public const string KmsKey = "testkey-1";

    /// <summary>The configuration file. Without cephx the gateway hangs; without tcp_nodelay a request takes 50 ms more. A gateway that was killed is
    /// missed for as long as its watch lasts, and with it the first change of a policy or a bucket: 30 s, were it not said otherwise.</summary>
    public static string Write(string directory, string cluster, int port, int mon1, int mon2, int firstStorePort) => string.Create(
        CultureInfo.InvariantCulture,
        $"""
        [global]
        fsid = {cluster}
        mon_host = [v2:127.0.0.1:{mon2},v1:127.0.0.1:{mon1}]
        public_addr = 127.0.0.1
        cluster_addr = 127.0.0.1
        ms_bind_port_min = {firstStorePort}
        ms_bind_port_max = {firstStorePort + 200}
        auth_cluster_required = cephx
        auth_service_required = cephx
        auth_client_required = cephx
        auth_allow_insecure_global_id_reclaim = false
        osd_pool_default_size = 1
        osd_pool_default_min_size = 1
        osd_pool_default_pg_num = 8
        osd_pool_default_pgp_num = 8
        osd_pool_default_pg_autoscale_mode = off
        mon_allow_pool_size_one = true
        mon_max_pg_per_osd = 1000
        osd_crush_chooseleaf_type = 0
        run_dir = {directory}/run
        admin_socket = {directory}/run/$name.$pid.asok
        pid_file = {directory}/run/$name.pid
        log_file = {directory}/log/$name.log
        crash_dir = {directory}/crash
        keyring = {directory}/keyring
        log_to_stderr = false
        err_to_stderr = false
        [mon]
        mon_data = {directory}/mon
        mon_initial_members = a
        mon_cluster_log_file = {directory}/log/cluster.log
        mon_cluster_log_to_file = false
        mon_data_avail_warn = 1
        mon_data_avail_crit = 1
        mon_warn_on_pool_no_redundancy = false
        paxos_propose_interval = 0.05
        paxos_min_wait = 0.02
        [osd]
        osd_data = {directory}/osd0
        osd_objectstore = memstore
        memstore_device_bytes = 8589934592
        osd_mclock_skip_benchmark = true
        osd_class_load_list = *
        osd_class_default_list = *
        osd_client_watch_timeout = 5
        [client.rgw]
        objecter_tick_interval = 1
        rgw_data = {directory}/rgw
        rgw_frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
        rgw_thread_pool_size = 64
        rgw_crypt_require_ssl = false
        rgw_crypt_s3_kms_backend = testing
        rgw_crypt_s3_kms_encryption_keys = {KmsKey}=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=

        """);
}
